;; Has a name with a surrogate, which is no UTF-8. Must crash.
;; ends: describe Crashed
(data $bad (i32.const 4096) "a\ed\a0\80b")
(func $name (param $at i32)
  (call $put (local.get $at) (i32.const 4096) (i32.const 5)))
