;; Has a type that a garbage collector manages.
;; Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module
    (type $pair (struct (field i32) (field i32)))
    (func (result (ref $pair))
      (struct.new $pair (i32.const 1) (i32.const 2)))))
