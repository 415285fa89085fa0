;; Tells the host to put arguments behind its memory. Must crash, in `declare`.
;; ends: declare Crashed
(func $realloc (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
  (i32.const 0xfffff000))
(func $zeros (param $len i32) (result i32)
  (i32.const 4096))
