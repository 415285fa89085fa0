;; Has a reference to a small number.
;; Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module
    (func (result (ref null i31))
      (ref.i31 (i32.const 1)))))
