;; Declares `w` as a constant and writes it in `train`. The host must answer
;; read-only; otherwise it panics.
;; ends: nowhere
(func $model (param $at i32)
  (call $tensor_spec (i32.const 384)
    (i32.const 1056) (i32.const 1) (i32.const 8) (i32.const 192) (i32.const 2)
    (i32.const 0) (i32.const 0))
  (call $put (local.get $at) (i32.const 384) (i32.const 1)))
(func $step (param $args i32) (param $n_args i32)
  (call $must_be (i32.const 5)
    (call $write (i32.const 0) (i32.const 0) (i32.const 4096) (i32.const 4)))
  (call $scalars))
