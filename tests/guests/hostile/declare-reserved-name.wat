;; Declares a tensor named `__metadata__`, which safetensors keeps for itself. Must be
;; refused, at the latest before training starts.
;; ends: declare BadOutput
(data $tensor_name (i32.const 4096) "__metadata__")
(func $model (param $at i32)
  (call $tensor_spec (i32.const 384)
    (i32.const 4096) (i32.const 12) (i32.const 8) (i32.const 192) (i32.const 2)
    (i32.const 1) (i32.const 0))
  (call $put (local.get $at) (i32.const 384) (i32.const 1)))
(func $init (param $args i32) (param $n_args i32) (result i32)
  (call $done))
(func $step (param $args i32) (param $n_args i32)
  (call $scalars))
