;; Declares a tensor and a state that have 1 GiB together, as much as may be declared.
;; Tolerated; the host must get along with it.
;; ends: declare BadOutput
(data $shape (i32.const 4096) "\ff\ff\ff\0f\00\00\00\00")
(func $model (param $at i32)
  (call $tensor_spec (i32.const 384)
    (i32.const 1056) (i32.const 1) (i32.const 8) (i32.const 4096) (i32.const 1)
    (i32.const 1) (i32.const 0))
  (call $put (local.get $at) (i32.const 384) (i32.const 1)))
(func $init (param $args i32) (param $n_args i32) (result i32)
  (call $done))
(func $step (param $args i32) (param $n_args i32)
  (call $scalars))
