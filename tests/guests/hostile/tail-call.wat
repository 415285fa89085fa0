;; Calls in place of itself.
;; Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module
    (func $f
      (return_call $f))))
