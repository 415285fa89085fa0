;; Reports scalars that are NaN, infinite, without a name and with escape codes in the name.
;; The host must drop the first two and clean the others. Tolerated otherwise.
;; ends: nowhere
(data $name (i32.const 4160) "\1b[31mloss\0a")
(func $scalars
  (call $loss_is (i32.const 4096) (i32.const 1060) (i32.const 4) (f64.const nan))
  (call $loss_is (i32.const 4112) (i32.const 1060) (i32.const 4) (f64.const inf))
  (call $loss_is (i32.const 4128) (i32.const 1060) (i32.const 0) (f64.const 1))
  (call $loss_is (i32.const 4144) (i32.const 4160) (i32.const 10) (f64.const 1e308))
  (call $monitor_scalars (i32.const 4096) (i32.const 4) (i32.const 128)))
(func $loss_is (param $at i32) (param $name i32) (param $len i32) (param $number f64)
  (call $put (local.get $at) (local.get $name) (local.get $len))
  (f64.store offset=8 (local.get $at) (local.get $number)))
