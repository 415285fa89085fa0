;; Declares a shared parameter of int64, which cannot be averaged. Must be refused.
;; ends: declare Refused
(func $model (param $at i32)
  (call $tensor_spec (i32.const 384)
    (i32.const 1056) (i32.const 1) (i32.const 5) (i32.const 192) (i32.const 2)
    (i32.const 1) (i32.const 0))
  (call $put (local.get $at) (i32.const 384) (i32.const 1)))
