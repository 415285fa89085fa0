;; Multiplies to 128 bits.
;; Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module
    (func (param i64 i64) (result i64 i64)
      (i64.mul_wide_u (local.get 0) (local.get 1)))))
