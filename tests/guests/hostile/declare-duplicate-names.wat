;; Declares `w` twice. Must be bad output.
;; ends: declare BadOutput
(func $model (param $at i32)
  (call $tensor_spec (i32.const 4096)
    (i32.const 1056) (i32.const 1) (i32.const 8) (i32.const 192) (i32.const 2)
    (i32.const 1) (i32.const 0))
  (call $tensor_spec (i32.const 4120)
    (i32.const 1056) (i32.const 1) (i32.const 8) (i32.const 192) (i32.const 2)
    (i32.const 1) (i32.const 1))
  (call $put (local.get $at) (i32.const 4096) (i32.const 2)))
