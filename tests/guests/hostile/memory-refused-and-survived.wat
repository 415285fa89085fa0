;; Grows its memory until it is refused, writes to every page, and then trains as
;; if nothing had happened. Tolerated: it stays within its limit.
;; ends: nowhere
(func $before_training (param $args i32) (param $n_args i32)
  (local $at i32)
  (call $grow_all)
  (local.set $at (global.get $top))
  (loop $again
    (i32.store (local.get $at) (i32.const 1))
    (local.set $at (i32.add (local.get $at) (i32.const 4096)))
    (br_if $again (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536))))))
(func $grow_all
  (loop $again
    (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))))
