;; Grows its memory until it is refused, and writes behind its end. Must crash.
;; ends: train Crashed
(func $before_training (param $args i32) (param $n_args i32)
  (call $grow_all)
  (i64.store (i32.mul (memory.size) (i32.const 65536)) (i64.const -1)))
(func $grow_all
  (loop $again
    (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))))
