;; Makes a stream. Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (type $bytes (stream u8))
  (core func $new (canon stream.new $bytes)))
