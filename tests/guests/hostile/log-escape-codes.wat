;; Logs escape codes, C1 controls, line breaks and characters that turn text around or
;; cannot be seen. None of them may reach a terminal. Tolerated otherwise.
;; ends: nowhere
(data $line_0 (i32.const 4096) "\1b[2J\1b[31mred")
(data $line_1 (i32.const 4160) "a\e2\80\aetxet\e2\81\a6b")
(data $line_2 (i32.const 4224) "one\0aerror: forged\0d\0a[2026] two")
(data $line_3 (i32.const 4288) "c1 \c2\9b31m")
(data $line_4 (i32.const 4352) "nul \00 bell \07")
(data $line_5 (i32.const 4416) "\1b]0;title\07")
(data $line_6 (i32.const 4480) "\e2\80\8b\ef\bb\bf\e2\80\a8\e2\80\a9")
(func $before_training (param $args i32) (param $n_args i32)
  (call $monitor_log (i32.const 0) (i32.const 4096) (i32.const 12))
  (call $monitor_log (i32.const 1) (i32.const 4160) (i32.const 12))
  (call $monitor_log (i32.const 2) (i32.const 4224) (i32.const 29))
  (call $monitor_log (i32.const 3) (i32.const 4288) (i32.const 8))
  (call $monitor_log (i32.const 0) (i32.const 4352) (i32.const 12))
  (call $monitor_log (i32.const 1) (i32.const 4416) (i32.const 10))
  (call $monitor_log (i32.const 2) (i32.const 4480) (i32.const 12)))
