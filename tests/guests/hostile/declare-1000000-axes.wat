;; Declares a tensor of 1,000,000 axes. Must be bad output.
;; ends: declare BadOutput
(func $model (param $at i32)
  (call $tensor_spec (i32.const 384)
    (i32.const 1056) (i32.const 1) (i32.const 8) (call $zeros (i32.const 8000000)) (i32.const 1000000)
    (i32.const 1) (i32.const 0))
  (call $put (local.get $at) (i32.const 384) (i32.const 1)))
