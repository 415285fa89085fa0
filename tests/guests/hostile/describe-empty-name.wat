;; Has an empty name. Must be bad output.
;; ends: describe BadOutput
(data $evil (i32.const 4096) "")
(func $name (param $at i32)
  (call $put (local.get $at) (i32.const 4096) (i32.const 0)))
