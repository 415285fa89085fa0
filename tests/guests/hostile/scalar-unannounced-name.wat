;; Reports a scalar whose name could be made of data, (`row 7`, 1), with every batch, which
;; `describe` does not announce. The host must leave it out. Tolerated otherwise.
;; ends: nowhere
(data $name (i32.const 4160) "row 7")
(func $scalars
  (call $put (i32.const 4096) (i32.const 4160) (i32.const 5))
  (f64.store (i32.const 4104) (f64.const 1))
  (call $monitor_scalars (i32.const 4096) (i32.const 1) (i32.const 128)))
