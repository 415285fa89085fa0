;; Draws NaN as initial parameters. Must be not finite.
;; ends: init NotFinite
(func $init (param $args i32) (param $n_args i32) (result i32)
  (f32.store (i32.const 4096) (f32.const nan))
  (call $must_be (i32.const 0) (call $write (i32.const 0) (i32.const 0) (i32.const 4096) (i32.const 4)))
  (call $done))
