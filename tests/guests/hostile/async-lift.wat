;; Exports an asynchronous function. Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module $main-module
    (func (export "f") (result i32) (i32.const 0))
    (func (export "callback") (param i32 i32 i32) (result i32) (i32.const 0)))
  (core instance $main (instantiate $main-module))
  (alias core export $main "callback" (core func $callback))
  (func $f async
    (canon lift (core func $main "f") async (callback (core func $callback))))
  (export "f" (func $f)))
