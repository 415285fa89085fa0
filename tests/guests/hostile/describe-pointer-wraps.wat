;; Says that its name starts in the last bytes of the address space and goes on at 0.
;; Must crash.
;; ends: describe Crashed
(func $name (param $at i32)
  (call $put (local.get $at) (i32.const 0xfffffff8) (i32.const 64)))
