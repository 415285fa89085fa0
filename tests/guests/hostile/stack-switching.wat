;; Has a type of continuations.
;; Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module
    (type $f (func))
    (type $c (cont $f))))
