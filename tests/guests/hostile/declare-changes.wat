;; Declares another shape each time that it is asked, from what it finds in its memory: it
;; finds the same each time. Tolerated: calls cannot know of each other.
;; ends: nowhere
(func $model (param $at i32)
  (i32.store (i32.const 4096) (i32.add (i32.load (i32.const 4096)) (i32.const 2)))
  (i64.store (i32.const 200) (i64.extend_i32_u (i32.load (i32.const 4096))))
  (call $tensor_spec (i32.const 384)
    (i32.const 1056) (i32.const 1) (i32.const 8) (i32.const 192) (i32.const 2)
    (i32.const 1) (i32.const 0))
  (call $put (local.get $at) (i32.const 384) (i32.const 1)))
