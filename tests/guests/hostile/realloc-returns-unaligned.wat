;; Tells the host to put arguments at an odd address. Must crash, in `declare`.
;; ends: declare Crashed
(func $realloc (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
  (i32.const 4097))
(func $zeros (param $len i32) (result i32)
  (i32.const 4096))
