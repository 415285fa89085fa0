;; Counts its calls in a global and in memory, and panics unless each of them is the first
;; of its instance. Tolerated: the counts must stay 1, also from round to round.
;; ends: nowhere
(global $calls (mut i32) (i32.const 0))
(func $count
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (i32.store (i32.const 4096) (i32.add (i32.load (i32.const 4096)) (i32.const 1)))
  (call $must_be (i32.const 1) (global.get $calls))
  (call $must_be (i32.const 1) (i32.load (i32.const 4096))))
(func $name (param $at i32)
  (call $count)
  (call $put (local.get $at) (i32.const 1024) (i32.const 8)))
(func $aux_in (param $at i32)
  (call $count)
  (call $put (local.get $at) (i32.const 0) (i32.const 0)))
(func $before_training (param $args i32) (param $n_args i32)
  (call $count))
;; The metric `loss`, of `train` and `validate`.
(func $metrics (param $at i32)
  (if (i32.eqz (global.get $calls)) (then (call $count)))
  (call $put (i32.const 448) (i32.const 1060) (i32.const 4))
  (f64.store (i32.const 456) (f64.convert_i32_u (global.get $calls)))
  (call $put (local.get $at) (i32.const 448) (i32.const 1)))
