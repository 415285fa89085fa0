;; Waits at an address, which only threads need.
;; Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module
    (memory 1)
    (func (result i32)
      (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))))
