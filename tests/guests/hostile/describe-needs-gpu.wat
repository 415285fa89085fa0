;; Needs a feature of the host that there is not. Must be refused before any data is
;; read.
;; ends: describe Refused
(data $gpu (i32.const 4352) "gpu")
(func $dependencies (param $at i32)
  (call $put (i32.const 4100) (i32.const 4352) (i32.const 3))
  (call $put (local.get $at) (i32.const 4096) (i32.const 1)))
