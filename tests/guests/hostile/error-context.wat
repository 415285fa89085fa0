;; Makes an error context. Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module $memory-module (memory (export "memory") 1))
  (core instance $memory (instantiate $memory-module))
  (alias core export $memory "memory" (core memory $bytes))
  (core func $new (canon error-context.new (memory $bytes))))
