;; Needs a column that the data do not have. Must be refused.
;; ends: data Other
(data $column (i32.const 4352) "password")
(func $dependencies (param $at i32)
  (i32.store8 (i32.const 4096) (i32.const 1))
  (call $put (i32.const 4100) (i32.const 4352) (i32.const 8))
  (call $put (local.get $at) (i32.const 4096) (i32.const 1)))
