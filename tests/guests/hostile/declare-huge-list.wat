;; Declares 2^28 tensors, in a list that is longer than its memory. Must crash, and
;; the host may not reserve what it was told.
;; ends: declare Crashed
(func $model (param $at i32)
  (call $put (local.get $at) (i32.const 4096) (i32.const 0x10000000)))
