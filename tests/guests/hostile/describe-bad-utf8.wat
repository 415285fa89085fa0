;; Has a name that is no UTF-8. Must crash.
;; ends: describe Crashed
(data $bad (i32.const 4096) "abc\ff\fe\80")
(func $name (param $at i32)
  (call $put (local.get $at) (i32.const 4096) (i32.const 6)))
