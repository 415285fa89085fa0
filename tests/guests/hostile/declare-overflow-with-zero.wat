;; Declares a tensor without elements whose other axes overflow 64 bits. Must be bad
;; output.
;; ends: declare BadOutput
(data $shape (i32.const 4096) "\00\00\00\00\00\01\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\00\00\00")
(func $model (param $at i32)
  (call $tensor_spec (i32.const 384)
    (i32.const 1056) (i32.const 1) (i32.const 8) (i32.const 4096) (i32.const 3)
    (i32.const 1) (i32.const 0))
  (call $put (local.get $at) (i32.const 384) (i32.const 1)))
