;; Reports `loss` 64 times with different numbers. Tolerated, or bad output.
;; ends: nowhere
(func $metrics (param $at i32)
  (local $n i32)
  (loop $again
    (call $put (i32.add (i32.const 4096) (i32.mul (local.get $n) (i32.const 16)))
      (i32.const 1060) (i32.const 4))
    (f64.store offset=8 (i32.add (i32.const 4096) (i32.mul (local.get $n) (i32.const 16)))
      (f64.convert_i32_u (local.get $n)))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 64))))
  (call $put (local.get $at) (i32.const 4096) (i32.const 64)))
