;; Has an argument whose default is a text with escape codes, C1 controls and U+202E.
;; None of them may reach a terminal.
;; ends: nowhere
(func $arguments (param $at i32)
  (local $text i32)
  (local.set $text (i32.const 4400))
  (call $put (i32.const 4096) (i32.const 1064) (i32.const 16))
  (i32.store8 (i32.const 4104) (i32.const 1))
  (i32.store8 (i32.const 4112) (i32.const 1))
  (call $put (i32.const 4136) (i32.const 1064) (i32.const 16))
  ;; `model.x`: text, default a text
  (call $put (i32.const 4144) (i32.const 4352) (i32.const 7))
  (i32.store8 (i32.const 4152) (i32.const 3))
  (i32.store8 (i32.const 4160) (i32.const 3))
  (i32.store8 (i32.const 4168) (i32.const 3))
  (call $put (i32.const 4176) (local.get $text) (i32.const 18))
  (call $put (i32.const 4184) (i32.const 4352) (i32.const 7))
  (call $put (local.get $at) (i32.const 4096) (i32.const 2)))
(data $x (i32.const 4352) "model.x")
(data $evil (i32.const 4400) "a\1b[31mb\c2\9b31mc\e2\80\aed\0a")
