;; Has a table with indices of 64 bits.
;; Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module
    (table i64 1 funcref)))
