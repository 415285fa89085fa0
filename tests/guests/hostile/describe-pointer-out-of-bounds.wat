;; Says that its name lies behind its memory. Must crash.
;; ends: describe Crashed
(func $name (param $at i32)
  (call $put (local.get $at) (i32.const 0x7ffffff0) (i32.const 8)))
