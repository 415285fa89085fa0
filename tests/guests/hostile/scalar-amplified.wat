;; Reports 1,000,000 scalars whose names are the same 64 KiB: 60 GiB of names out of 16 MiB
;; of memory. Must end before the host has made them all.
;; ends: train LimitExceeded
(func $scalars
  (local $list i32)
  (local $n i32)
  (local.set $list (call $zeros (i32.const 16000000)))
  (memory.fill (i32.const 4096) (i32.const 97) (i32.const 60000))
  (loop $again
    (call $put (i32.add (local.get $list) (i32.mul (local.get $n) (i32.const 16)))
      (i32.const 4096) (i32.const 60000))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 1000000))))
  (call $monitor_scalars (local.get $list) (i32.const 1000000) (i32.const 128)))
