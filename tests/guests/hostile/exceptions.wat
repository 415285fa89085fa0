;; Throws an exception.
;; Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module
    (tag $oops)
    (func
      (throw $oops))))
