;; Imports a value. Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (import "a" (value string)))
