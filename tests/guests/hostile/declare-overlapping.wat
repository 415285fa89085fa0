;; Declares 100,000 tensors whose names are the same 64 KiB: 6 GiB of names out of
;; 2 MiB of memory. Must end before the host has made them all.
;; ends: declare LimitExceeded
(func $model (param $at i32)
  (local $list i32)
  (local $n i32)
  (local $name i32)
  (local.set $name (call $zeros (i32.const 65536)))
  (memory.fill (local.get $name) (i32.const 97) (i32.const 65536))
  (local.set $list (call $zeros (i32.const 2400000)))
  (loop $again
    (call $tensor_spec (i32.add (local.get $list) (i32.mul (local.get $n) (i32.const 24)))
      (local.get $name) (i32.const 65536) (i32.const 8) (i32.const 224) (i32.const 1)
      (i32.const 1) (i32.const 0))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 100000))))
  (call $put (local.get $at) (local.get $list) (i32.const 100000)))
