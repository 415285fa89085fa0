;; Has an argument whose default is a text of 16 MiB, which every call would get.
;; Must be bad output, or tolerated at no cost to others.
;; ends: describe BadOutput
(func $arguments (param $at i32)
  (local $text i32)
  (local.set $text (call $zeros (i32.const 16777216)))
  (memory.fill (local.get $text) (i32.const 97) (i32.const 16777216))
  (call $put (i32.const 4096) (i32.const 1064) (i32.const 16))
  (i32.store8 (i32.const 4104) (i32.const 1))
  (i32.store8 (i32.const 4112) (i32.const 1))
  (call $put (i32.const 4136) (i32.const 1064) (i32.const 16))
  ;; `model.x`: text, default a text
  (call $put (i32.const 4144) (i32.const 4352) (i32.const 7))
  (i32.store8 (i32.const 4152) (i32.const 3))
  (i32.store8 (i32.const 4160) (i32.const 3))
  (i32.store8 (i32.const 4168) (i32.const 3))
  (call $put (i32.const 4176) (local.get $text) (i32.const 16777216))
  (call $put (i32.const 4184) (i32.const 4352) (i32.const 7))
  (call $put (local.get $at) (i32.const 4096) (i32.const 2)))
(data $x (i32.const 4352) "model.x")
