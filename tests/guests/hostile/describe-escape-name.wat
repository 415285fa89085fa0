;; Has a name with escape codes. Must be bad output, and the codes may not reach a
;; terminal.
;; ends: describe BadOutput
(data $evil (i32.const 4096) "a\1b[2Jb")
(func $name (param $at i32)
  (call $put (local.get $at) (i32.const 4096) (i32.const 6)))
