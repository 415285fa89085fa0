;; Calls through a typed reference.
;; Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module
    (type $f (func))
    (func (param (ref $f))
      (call_ref $f (local.get 0)))))
