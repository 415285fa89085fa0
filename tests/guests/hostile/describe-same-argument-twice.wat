;; Has the argument `model.n_features` twice, as a whole number and as a text. Must be
;; bad output, or the argument cannot be given.
;; ends: describe BadOutput
(func $arguments (param $at i32)
  (call $put (i32.const 4096) (i32.const 1064) (i32.const 16))
  (i32.store8 (i32.const 4104) (i32.const 1))
  (i32.store8 (i32.const 4112) (i32.const 1))
  (call $put (i32.const 4136) (i32.const 1064) (i32.const 16))
  (call $put (i32.const 4144) (i32.const 1064) (i32.const 16))
  (i32.store8 (i32.const 4152) (i32.const 3))
  (i32.store8 (i32.const 4160) (i32.const 3))
  (i32.store8 (i32.const 4168) (i32.const 3))
  (call $put (i32.const 4176) (i32.const 1064) (i32.const 16))
  (call $put (i32.const 4184) (i32.const 1064) (i32.const 16))
  (call $put (local.get $at) (i32.const 4096) (i32.const 2)))
