;; Has a memory with addresses of 64 bits.
;; Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module
    (memory i64 1)))
