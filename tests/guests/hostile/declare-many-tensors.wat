;; Declares 65,536 tensors of one element, as many as there may be. Tolerated; the
;; host may not take long over them.
;; ends: declare BadOutput
(func $model (param $at i32)
  (local $list i32)
  (local $n i32)
  (local.set $list (call $zeros (i32.const 1572864)))
  (loop $again
    (call $tensor_spec (i32.add (local.get $list) (i32.mul (local.get $n) (i32.const 24)))
      (call $letters (local.get $n)) (i32.const 8) (i32.const 8) (i32.const 224) (i32.const 1)
      (i32.const 1) (i32.const 0))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 65536))))
  (call $put (local.get $at) (local.get $list) (i32.const 65536)))
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
(func $init (param $args i32) (param $n_args i32) (result i32)
  (call $done))
(func $step (param $args i32) (param $n_args i32)
  (call $scalars))
