;; Has 257 arguments. Must be bad output.
;; ends: describe BadOutput
(func $arguments (param $at i32)
  (call $put (local.get $at) (call $zeros (i32.const 12336)) (i32.const 257)))
