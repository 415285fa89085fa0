;; Declares no parameter at all. Tolerated, or refused; not a crash.
;; ends: nowhere
(func $model (param $at i32)
  (call $put (local.get $at) (i32.const 0) (i32.const 0)))
(func $init (param $args i32) (param $n_args i32) (result i32)
  (call $done))
(func $step (param $args i32) (param $n_args i32)
  (call $scalars))
