;; Reports a metric whose name turns the text that follows around (U+202E). Must be bad
;; output, or the character may not reach a terminal.
;; ends: train BadOutput
(data $metric (i32.const 4096) "a\e2\80\aeb")
(func $metrics (param $at i32)
  (call $put (i32.const 448) (i32.const 4096) (i32.const 5))
  (f64.store (i32.const 456) (f64.const 0.5))
  (call $put (local.get $at) (i32.const 448) (i32.const 1)))
