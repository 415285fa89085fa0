;; Asks for data in `describe`, `declare` and `init`, where there are none. The host
;; must answer closed each time; otherwise it panics.
;; ends: nowhere
(func $name (param $at i32)
  (call $all_closed)
  (call $random_closed)
  (call $put (local.get $at) (i32.const 1024) (i32.const 8)))
(func $aux_in (param $at i32)
  (call $all_closed)
  (call $random_closed)
  (call $put (local.get $at) (i32.const 0) (i32.const 0)))
(func $init (param $args i32) (param $n_args i32) (result i32)
  (call $all_closed)
  (call $done))
;; Everything that needs data or randomness must be closed.
(func $all_closed
  (call $loader_next (i32.const 128))
  (call $must_be (i32.const 1) (i32.load8_u (i32.const 128)))
  (call $must_be (i32.const 0) (i32.load8_u (i32.const 136)))
  (call $store_read (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 128))
  (call $must_be (i32.const 1) (i32.load8_u (i32.const 128)))
  (call $must_be (i32.const 0) (i32.load8_u (i32.const 132)))
  (call $must_be (i32.const 1)
    (call $write (i32.const 3) (i32.const 0) (i32.const 4096) (i32.const 0)))
  (call $monitor_scalars (i32.const 0) (i32.const 0) (i32.const 128))
  (call $must_be (i32.const 1) (i32.load8_u (i32.const 128)))
  (call $must_be (i32.const 0) (i32.load8_u (i32.const 129)))
  (call $must_be (i32.const 1)
    (call $emit (i64.const 0) (i64.const 1) (i64.const 1) (i32.const 4096) (i32.const 4))))
(func $random_closed
  (call $random_bytes (i32.const 0) (i32.const 128))
  (call $must_be (i32.const 1) (i32.load8_u (i32.const 128)))
  (call $must_be (i32.const 0) (i32.load8_u (i32.const 132))))
