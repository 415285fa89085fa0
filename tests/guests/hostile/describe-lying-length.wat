;; Says that its name has 4 GiB - 1 bytes. Must crash, and the host may not reserve
;; what it was told.
;; ends: describe Crashed
(func $name (param $at i32)
  (call $put (local.get $at) (i32.const 1024) (i32.const 0xffffffff)))
