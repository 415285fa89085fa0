;; Gives up with a reason that clears the screen, turns the text around (U+202E) and
;; forges a second line. None of that may reach a terminal.
;; ends: train GaveUp
(data $reason (i32.const 4096) "a\1b[2Jb\c2\9b31mc\0aerror: forged\0d\e2\80\aetxet\e2\80\8bz")
(func $train (param $args i32) (param $n_args i32) (result i32)
  (call $fail_report (i32.const 5) (i32.const 4096) (i32.const 38)))
