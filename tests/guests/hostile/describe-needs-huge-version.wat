;; Needs a version of the contract whose requirement is a text of 8 MiB. Must be
;; refused, with the text cut.
;; ends: describe BadOutput
(func $dependencies (param $at i32)
  (local $text i32)
  (local.set $text (call $zeros (i32.const 8388608)))
  (memory.fill (local.get $text) (i32.const 62) (i32.const 8388608))
  (i32.store8 (i32.const 4096) (i32.const 2))
  (call $put (i32.const 4100) (local.get $text) (i32.const 8388608))
  (call $put (local.get $at) (i32.const 4096) (i32.const 1)))
