;; Reports 100,000 scalars of different names with every batch. The host must drop what is
;; above its bound. Tolerated otherwise.
;; ends: nowhere
(func $scalars
  (local $list i32)
  (local $n i32)
  (local.set $list (call $zeros (i32.const 1600000)))
  (loop $again
    (call $put (i32.add (local.get $list) (i32.mul (local.get $n) (i32.const 16)))
      (call $letters (local.get $n)) (i32.const 8))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 100000))))
  (call $monitor_scalars (local.get $list) (i32.const 100000) (i32.const 128)))
;; Writes a number as 8 letters behind all others; returns where.
(func $letters (param $n i32) (result i32)
  (local $at i32)
  (local $i i32)
  (local.set $at (call $zeros (i32.const 8)))
  (loop $again
    (i32.store8 (i32.add (local.get $at) (local.get $i))
      (i32.add (i32.const 97) (i32.and (local.get $n) (i32.const 15))))
    (local.set $n (i32.shr_u (local.get $n) (i32.const 4)))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $i) (i32.const 8))))
  (local.get $at))
