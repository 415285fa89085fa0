;; Has one function of 500 loops in each other and 500 locals, 7 KiB in all, whose
;; compilation takes minutes: time grows with the fourth power of that number, and memory,
;; too. Must be refused, or the compilation must end at a limit of time and memory.
;; ends: describe DeadlineExceeded | describe OutOfMemory
(func $bomb
  (local
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32
  i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop loop
  local.get 0 i32.const 1 i32.add local.set 0 local.get 1 i32.const 1 i32.add local.set 1 local.get 2 i32.const 1 i32.add local.set 2
  local.get 3 i32.const 1 i32.add local.set 3 local.get 4 i32.const 1 i32.add local.set 4 local.get 5 i32.const 1 i32.add local.set 5
  local.get 6 i32.const 1 i32.add local.set 6 local.get 7 i32.const 1 i32.add local.set 7 local.get 8 i32.const 1 i32.add local.set 8
  local.get 9 i32.const 1 i32.add local.set 9 local.get 10 i32.const 1 i32.add local.set 10 local.get 11 i32.const 1 i32.add local.set 11
  local.get 12 i32.const 1 i32.add local.set 12 local.get 13 i32.const 1 i32.add local.set 13 local.get 14 i32.const 1 i32.add local.set 14
  local.get 15 i32.const 1 i32.add local.set 15 local.get 16 i32.const 1 i32.add local.set 16 local.get 17 i32.const 1 i32.add local.set 17
  local.get 18 i32.const 1 i32.add local.set 18 local.get 19 i32.const 1 i32.add local.set 19 local.get 20 i32.const 1 i32.add local.set 20
  local.get 21 i32.const 1 i32.add local.set 21 local.get 22 i32.const 1 i32.add local.set 22 local.get 23 i32.const 1 i32.add local.set 23
  local.get 24 i32.const 1 i32.add local.set 24 local.get 25 i32.const 1 i32.add local.set 25 local.get 26 i32.const 1 i32.add local.set 26
  local.get 27 i32.const 1 i32.add local.set 27 local.get 28 i32.const 1 i32.add local.set 28 local.get 29 i32.const 1 i32.add local.set 29
  local.get 30 i32.const 1 i32.add local.set 30 local.get 31 i32.const 1 i32.add local.set 31 local.get 32 i32.const 1 i32.add local.set 32
  local.get 33 i32.const 1 i32.add local.set 33 local.get 34 i32.const 1 i32.add local.set 34 local.get 35 i32.const 1 i32.add local.set 35
  local.get 36 i32.const 1 i32.add local.set 36 local.get 37 i32.const 1 i32.add local.set 37 local.get 38 i32.const 1 i32.add local.set 38
  local.get 39 i32.const 1 i32.add local.set 39 local.get 40 i32.const 1 i32.add local.set 40 local.get 41 i32.const 1 i32.add local.set 41
  local.get 42 i32.const 1 i32.add local.set 42 local.get 43 i32.const 1 i32.add local.set 43 local.get 44 i32.const 1 i32.add local.set 44
  local.get 45 i32.const 1 i32.add local.set 45 local.get 46 i32.const 1 i32.add local.set 46 local.get 47 i32.const 1 i32.add local.set 47
  local.get 48 i32.const 1 i32.add local.set 48 local.get 49 i32.const 1 i32.add local.set 49 local.get 50 i32.const 1 i32.add local.set 50
  local.get 51 i32.const 1 i32.add local.set 51 local.get 52 i32.const 1 i32.add local.set 52 local.get 53 i32.const 1 i32.add local.set 53
  local.get 54 i32.const 1 i32.add local.set 54 local.get 55 i32.const 1 i32.add local.set 55 local.get 56 i32.const 1 i32.add local.set 56
  local.get 57 i32.const 1 i32.add local.set 57 local.get 58 i32.const 1 i32.add local.set 58 local.get 59 i32.const 1 i32.add local.set 59
  local.get 60 i32.const 1 i32.add local.set 60 local.get 61 i32.const 1 i32.add local.set 61 local.get 62 i32.const 1 i32.add local.set 62
  local.get 63 i32.const 1 i32.add local.set 63 local.get 64 i32.const 1 i32.add local.set 64 local.get 65 i32.const 1 i32.add local.set 65
  local.get 66 i32.const 1 i32.add local.set 66 local.get 67 i32.const 1 i32.add local.set 67 local.get 68 i32.const 1 i32.add local.set 68
  local.get 69 i32.const 1 i32.add local.set 69 local.get 70 i32.const 1 i32.add local.set 70 local.get 71 i32.const 1 i32.add local.set 71
  local.get 72 i32.const 1 i32.add local.set 72 local.get 73 i32.const 1 i32.add local.set 73 local.get 74 i32.const 1 i32.add local.set 74
  local.get 75 i32.const 1 i32.add local.set 75 local.get 76 i32.const 1 i32.add local.set 76 local.get 77 i32.const 1 i32.add local.set 77
  local.get 78 i32.const 1 i32.add local.set 78 local.get 79 i32.const 1 i32.add local.set 79 local.get 80 i32.const 1 i32.add local.set 80
  local.get 81 i32.const 1 i32.add local.set 81 local.get 82 i32.const 1 i32.add local.set 82 local.get 83 i32.const 1 i32.add local.set 83
  local.get 84 i32.const 1 i32.add local.set 84 local.get 85 i32.const 1 i32.add local.set 85 local.get 86 i32.const 1 i32.add local.set 86
  local.get 87 i32.const 1 i32.add local.set 87 local.get 88 i32.const 1 i32.add local.set 88 local.get 89 i32.const 1 i32.add local.set 89
  local.get 90 i32.const 1 i32.add local.set 90 local.get 91 i32.const 1 i32.add local.set 91 local.get 92 i32.const 1 i32.add local.set 92
  local.get 93 i32.const 1 i32.add local.set 93 local.get 94 i32.const 1 i32.add local.set 94 local.get 95 i32.const 1 i32.add local.set 95
  local.get 96 i32.const 1 i32.add local.set 96 local.get 97 i32.const 1 i32.add local.set 97 local.get 98 i32.const 1 i32.add local.set 98
  local.get 99 i32.const 1 i32.add local.set 99 local.get 100 i32.const 1 i32.add local.set 100 local.get 101 i32.const 1 i32.add local.set 101
  local.get 102 i32.const 1 i32.add local.set 102 local.get 103 i32.const 1 i32.add local.set 103 local.get 104 i32.const 1 i32.add local.set 104
  local.get 105 i32.const 1 i32.add local.set 105 local.get 106 i32.const 1 i32.add local.set 106 local.get 107 i32.const 1 i32.add local.set 107
  local.get 108 i32.const 1 i32.add local.set 108 local.get 109 i32.const 1 i32.add local.set 109 local.get 110 i32.const 1 i32.add local.set 110
  local.get 111 i32.const 1 i32.add local.set 111 local.get 112 i32.const 1 i32.add local.set 112 local.get 113 i32.const 1 i32.add local.set 113
  local.get 114 i32.const 1 i32.add local.set 114 local.get 115 i32.const 1 i32.add local.set 115 local.get 116 i32.const 1 i32.add local.set 116
  local.get 117 i32.const 1 i32.add local.set 117 local.get 118 i32.const 1 i32.add local.set 118 local.get 119 i32.const 1 i32.add local.set 119
  local.get 120 i32.const 1 i32.add local.set 120 local.get 121 i32.const 1 i32.add local.set 121 local.get 122 i32.const 1 i32.add local.set 122
  local.get 123 i32.const 1 i32.add local.set 123 local.get 124 i32.const 1 i32.add local.set 124 local.get 125 i32.const 1 i32.add local.set 125
  local.get 126 i32.const 1 i32.add local.set 126 local.get 127 i32.const 1 i32.add local.set 127 local.get 128 i32.const 1 i32.add local.set 128
  local.get 129 i32.const 1 i32.add local.set 129 local.get 130 i32.const 1 i32.add local.set 130 local.get 131 i32.const 1 i32.add local.set 131
  local.get 132 i32.const 1 i32.add local.set 132 local.get 133 i32.const 1 i32.add local.set 133 local.get 134 i32.const 1 i32.add local.set 134
  local.get 135 i32.const 1 i32.add local.set 135 local.get 136 i32.const 1 i32.add local.set 136 local.get 137 i32.const 1 i32.add local.set 137
  local.get 138 i32.const 1 i32.add local.set 138 local.get 139 i32.const 1 i32.add local.set 139 local.get 140 i32.const 1 i32.add local.set 140
  local.get 141 i32.const 1 i32.add local.set 141 local.get 142 i32.const 1 i32.add local.set 142 local.get 143 i32.const 1 i32.add local.set 143
  local.get 144 i32.const 1 i32.add local.set 144 local.get 145 i32.const 1 i32.add local.set 145 local.get 146 i32.const 1 i32.add local.set 146
  local.get 147 i32.const 1 i32.add local.set 147 local.get 148 i32.const 1 i32.add local.set 148 local.get 149 i32.const 1 i32.add local.set 149
  local.get 150 i32.const 1 i32.add local.set 150 local.get 151 i32.const 1 i32.add local.set 151 local.get 152 i32.const 1 i32.add local.set 152
  local.get 153 i32.const 1 i32.add local.set 153 local.get 154 i32.const 1 i32.add local.set 154 local.get 155 i32.const 1 i32.add local.set 155
  local.get 156 i32.const 1 i32.add local.set 156 local.get 157 i32.const 1 i32.add local.set 157 local.get 158 i32.const 1 i32.add local.set 158
  local.get 159 i32.const 1 i32.add local.set 159 local.get 160 i32.const 1 i32.add local.set 160 local.get 161 i32.const 1 i32.add local.set 161
  local.get 162 i32.const 1 i32.add local.set 162 local.get 163 i32.const 1 i32.add local.set 163 local.get 164 i32.const 1 i32.add local.set 164
  local.get 165 i32.const 1 i32.add local.set 165 local.get 166 i32.const 1 i32.add local.set 166 local.get 167 i32.const 1 i32.add local.set 167
  local.get 168 i32.const 1 i32.add local.set 168 local.get 169 i32.const 1 i32.add local.set 169 local.get 170 i32.const 1 i32.add local.set 170
  local.get 171 i32.const 1 i32.add local.set 171 local.get 172 i32.const 1 i32.add local.set 172 local.get 173 i32.const 1 i32.add local.set 173
  local.get 174 i32.const 1 i32.add local.set 174 local.get 175 i32.const 1 i32.add local.set 175 local.get 176 i32.const 1 i32.add local.set 176
  local.get 177 i32.const 1 i32.add local.set 177 local.get 178 i32.const 1 i32.add local.set 178 local.get 179 i32.const 1 i32.add local.set 179
  local.get 180 i32.const 1 i32.add local.set 180 local.get 181 i32.const 1 i32.add local.set 181 local.get 182 i32.const 1 i32.add local.set 182
  local.get 183 i32.const 1 i32.add local.set 183 local.get 184 i32.const 1 i32.add local.set 184 local.get 185 i32.const 1 i32.add local.set 185
  local.get 186 i32.const 1 i32.add local.set 186 local.get 187 i32.const 1 i32.add local.set 187 local.get 188 i32.const 1 i32.add local.set 188
  local.get 189 i32.const 1 i32.add local.set 189 local.get 190 i32.const 1 i32.add local.set 190 local.get 191 i32.const 1 i32.add local.set 191
  local.get 192 i32.const 1 i32.add local.set 192 local.get 193 i32.const 1 i32.add local.set 193 local.get 194 i32.const 1 i32.add local.set 194
  local.get 195 i32.const 1 i32.add local.set 195 local.get 196 i32.const 1 i32.add local.set 196 local.get 197 i32.const 1 i32.add local.set 197
  local.get 198 i32.const 1 i32.add local.set 198 local.get 199 i32.const 1 i32.add local.set 199 local.get 200 i32.const 1 i32.add local.set 200
  local.get 201 i32.const 1 i32.add local.set 201 local.get 202 i32.const 1 i32.add local.set 202 local.get 203 i32.const 1 i32.add local.set 203
  local.get 204 i32.const 1 i32.add local.set 204 local.get 205 i32.const 1 i32.add local.set 205 local.get 206 i32.const 1 i32.add local.set 206
  local.get 207 i32.const 1 i32.add local.set 207 local.get 208 i32.const 1 i32.add local.set 208 local.get 209 i32.const 1 i32.add local.set 209
  local.get 210 i32.const 1 i32.add local.set 210 local.get 211 i32.const 1 i32.add local.set 211 local.get 212 i32.const 1 i32.add local.set 212
  local.get 213 i32.const 1 i32.add local.set 213 local.get 214 i32.const 1 i32.add local.set 214 local.get 215 i32.const 1 i32.add local.set 215
  local.get 216 i32.const 1 i32.add local.set 216 local.get 217 i32.const 1 i32.add local.set 217 local.get 218 i32.const 1 i32.add local.set 218
  local.get 219 i32.const 1 i32.add local.set 219 local.get 220 i32.const 1 i32.add local.set 220 local.get 221 i32.const 1 i32.add local.set 221
  local.get 222 i32.const 1 i32.add local.set 222 local.get 223 i32.const 1 i32.add local.set 223 local.get 224 i32.const 1 i32.add local.set 224
  local.get 225 i32.const 1 i32.add local.set 225 local.get 226 i32.const 1 i32.add local.set 226 local.get 227 i32.const 1 i32.add local.set 227
  local.get 228 i32.const 1 i32.add local.set 228 local.get 229 i32.const 1 i32.add local.set 229 local.get 230 i32.const 1 i32.add local.set 230
  local.get 231 i32.const 1 i32.add local.set 231 local.get 232 i32.const 1 i32.add local.set 232 local.get 233 i32.const 1 i32.add local.set 233
  local.get 234 i32.const 1 i32.add local.set 234 local.get 235 i32.const 1 i32.add local.set 235 local.get 236 i32.const 1 i32.add local.set 236
  local.get 237 i32.const 1 i32.add local.set 237 local.get 238 i32.const 1 i32.add local.set 238 local.get 239 i32.const 1 i32.add local.set 239
  local.get 240 i32.const 1 i32.add local.set 240 local.get 241 i32.const 1 i32.add local.set 241 local.get 242 i32.const 1 i32.add local.set 242
  local.get 243 i32.const 1 i32.add local.set 243 local.get 244 i32.const 1 i32.add local.set 244 local.get 245 i32.const 1 i32.add local.set 245
  local.get 246 i32.const 1 i32.add local.set 246 local.get 247 i32.const 1 i32.add local.set 247 local.get 248 i32.const 1 i32.add local.set 248
  local.get 249 i32.const 1 i32.add local.set 249 local.get 250 i32.const 1 i32.add local.set 250 local.get 251 i32.const 1 i32.add local.set 251
  local.get 252 i32.const 1 i32.add local.set 252 local.get 253 i32.const 1 i32.add local.set 253 local.get 254 i32.const 1 i32.add local.set 254
  local.get 255 i32.const 1 i32.add local.set 255 local.get 256 i32.const 1 i32.add local.set 256 local.get 257 i32.const 1 i32.add local.set 257
  local.get 258 i32.const 1 i32.add local.set 258 local.get 259 i32.const 1 i32.add local.set 259 local.get 260 i32.const 1 i32.add local.set 260
  local.get 261 i32.const 1 i32.add local.set 261 local.get 262 i32.const 1 i32.add local.set 262 local.get 263 i32.const 1 i32.add local.set 263
  local.get 264 i32.const 1 i32.add local.set 264 local.get 265 i32.const 1 i32.add local.set 265 local.get 266 i32.const 1 i32.add local.set 266
  local.get 267 i32.const 1 i32.add local.set 267 local.get 268 i32.const 1 i32.add local.set 268 local.get 269 i32.const 1 i32.add local.set 269
  local.get 270 i32.const 1 i32.add local.set 270 local.get 271 i32.const 1 i32.add local.set 271 local.get 272 i32.const 1 i32.add local.set 272
  local.get 273 i32.const 1 i32.add local.set 273 local.get 274 i32.const 1 i32.add local.set 274 local.get 275 i32.const 1 i32.add local.set 275
  local.get 276 i32.const 1 i32.add local.set 276 local.get 277 i32.const 1 i32.add local.set 277 local.get 278 i32.const 1 i32.add local.set 278
  local.get 279 i32.const 1 i32.add local.set 279 local.get 280 i32.const 1 i32.add local.set 280 local.get 281 i32.const 1 i32.add local.set 281
  local.get 282 i32.const 1 i32.add local.set 282 local.get 283 i32.const 1 i32.add local.set 283 local.get 284 i32.const 1 i32.add local.set 284
  local.get 285 i32.const 1 i32.add local.set 285 local.get 286 i32.const 1 i32.add local.set 286 local.get 287 i32.const 1 i32.add local.set 287
  local.get 288 i32.const 1 i32.add local.set 288 local.get 289 i32.const 1 i32.add local.set 289 local.get 290 i32.const 1 i32.add local.set 290
  local.get 291 i32.const 1 i32.add local.set 291 local.get 292 i32.const 1 i32.add local.set 292 local.get 293 i32.const 1 i32.add local.set 293
  local.get 294 i32.const 1 i32.add local.set 294 local.get 295 i32.const 1 i32.add local.set 295 local.get 296 i32.const 1 i32.add local.set 296
  local.get 297 i32.const 1 i32.add local.set 297 local.get 298 i32.const 1 i32.add local.set 298 local.get 299 i32.const 1 i32.add local.set 299
  local.get 300 i32.const 1 i32.add local.set 300 local.get 301 i32.const 1 i32.add local.set 301 local.get 302 i32.const 1 i32.add local.set 302
  local.get 303 i32.const 1 i32.add local.set 303 local.get 304 i32.const 1 i32.add local.set 304 local.get 305 i32.const 1 i32.add local.set 305
  local.get 306 i32.const 1 i32.add local.set 306 local.get 307 i32.const 1 i32.add local.set 307 local.get 308 i32.const 1 i32.add local.set 308
  local.get 309 i32.const 1 i32.add local.set 309 local.get 310 i32.const 1 i32.add local.set 310 local.get 311 i32.const 1 i32.add local.set 311
  local.get 312 i32.const 1 i32.add local.set 312 local.get 313 i32.const 1 i32.add local.set 313 local.get 314 i32.const 1 i32.add local.set 314
  local.get 315 i32.const 1 i32.add local.set 315 local.get 316 i32.const 1 i32.add local.set 316 local.get 317 i32.const 1 i32.add local.set 317
  local.get 318 i32.const 1 i32.add local.set 318 local.get 319 i32.const 1 i32.add local.set 319 local.get 320 i32.const 1 i32.add local.set 320
  local.get 321 i32.const 1 i32.add local.set 321 local.get 322 i32.const 1 i32.add local.set 322 local.get 323 i32.const 1 i32.add local.set 323
  local.get 324 i32.const 1 i32.add local.set 324 local.get 325 i32.const 1 i32.add local.set 325 local.get 326 i32.const 1 i32.add local.set 326
  local.get 327 i32.const 1 i32.add local.set 327 local.get 328 i32.const 1 i32.add local.set 328 local.get 329 i32.const 1 i32.add local.set 329
  local.get 330 i32.const 1 i32.add local.set 330 local.get 331 i32.const 1 i32.add local.set 331 local.get 332 i32.const 1 i32.add local.set 332
  local.get 333 i32.const 1 i32.add local.set 333 local.get 334 i32.const 1 i32.add local.set 334 local.get 335 i32.const 1 i32.add local.set 335
  local.get 336 i32.const 1 i32.add local.set 336 local.get 337 i32.const 1 i32.add local.set 337 local.get 338 i32.const 1 i32.add local.set 338
  local.get 339 i32.const 1 i32.add local.set 339 local.get 340 i32.const 1 i32.add local.set 340 local.get 341 i32.const 1 i32.add local.set 341
  local.get 342 i32.const 1 i32.add local.set 342 local.get 343 i32.const 1 i32.add local.set 343 local.get 344 i32.const 1 i32.add local.set 344
  local.get 345 i32.const 1 i32.add local.set 345 local.get 346 i32.const 1 i32.add local.set 346 local.get 347 i32.const 1 i32.add local.set 347
  local.get 348 i32.const 1 i32.add local.set 348 local.get 349 i32.const 1 i32.add local.set 349 local.get 350 i32.const 1 i32.add local.set 350
  local.get 351 i32.const 1 i32.add local.set 351 local.get 352 i32.const 1 i32.add local.set 352 local.get 353 i32.const 1 i32.add local.set 353
  local.get 354 i32.const 1 i32.add local.set 354 local.get 355 i32.const 1 i32.add local.set 355 local.get 356 i32.const 1 i32.add local.set 356
  local.get 357 i32.const 1 i32.add local.set 357 local.get 358 i32.const 1 i32.add local.set 358 local.get 359 i32.const 1 i32.add local.set 359
  local.get 360 i32.const 1 i32.add local.set 360 local.get 361 i32.const 1 i32.add local.set 361 local.get 362 i32.const 1 i32.add local.set 362
  local.get 363 i32.const 1 i32.add local.set 363 local.get 364 i32.const 1 i32.add local.set 364 local.get 365 i32.const 1 i32.add local.set 365
  local.get 366 i32.const 1 i32.add local.set 366 local.get 367 i32.const 1 i32.add local.set 367 local.get 368 i32.const 1 i32.add local.set 368
  local.get 369 i32.const 1 i32.add local.set 369 local.get 370 i32.const 1 i32.add local.set 370 local.get 371 i32.const 1 i32.add local.set 371
  local.get 372 i32.const 1 i32.add local.set 372 local.get 373 i32.const 1 i32.add local.set 373 local.get 374 i32.const 1 i32.add local.set 374
  local.get 375 i32.const 1 i32.add local.set 375 local.get 376 i32.const 1 i32.add local.set 376 local.get 377 i32.const 1 i32.add local.set 377
  local.get 378 i32.const 1 i32.add local.set 378 local.get 379 i32.const 1 i32.add local.set 379 local.get 380 i32.const 1 i32.add local.set 380
  local.get 381 i32.const 1 i32.add local.set 381 local.get 382 i32.const 1 i32.add local.set 382 local.get 383 i32.const 1 i32.add local.set 383
  local.get 384 i32.const 1 i32.add local.set 384 local.get 385 i32.const 1 i32.add local.set 385 local.get 386 i32.const 1 i32.add local.set 386
  local.get 387 i32.const 1 i32.add local.set 387 local.get 388 i32.const 1 i32.add local.set 388 local.get 389 i32.const 1 i32.add local.set 389
  local.get 390 i32.const 1 i32.add local.set 390 local.get 391 i32.const 1 i32.add local.set 391 local.get 392 i32.const 1 i32.add local.set 392
  local.get 393 i32.const 1 i32.add local.set 393 local.get 394 i32.const 1 i32.add local.set 394 local.get 395 i32.const 1 i32.add local.set 395
  local.get 396 i32.const 1 i32.add local.set 396 local.get 397 i32.const 1 i32.add local.set 397 local.get 398 i32.const 1 i32.add local.set 398
  local.get 399 i32.const 1 i32.add local.set 399 local.get 400 i32.const 1 i32.add local.set 400 local.get 401 i32.const 1 i32.add local.set 401
  local.get 402 i32.const 1 i32.add local.set 402 local.get 403 i32.const 1 i32.add local.set 403 local.get 404 i32.const 1 i32.add local.set 404
  local.get 405 i32.const 1 i32.add local.set 405 local.get 406 i32.const 1 i32.add local.set 406 local.get 407 i32.const 1 i32.add local.set 407
  local.get 408 i32.const 1 i32.add local.set 408 local.get 409 i32.const 1 i32.add local.set 409 local.get 410 i32.const 1 i32.add local.set 410
  local.get 411 i32.const 1 i32.add local.set 411 local.get 412 i32.const 1 i32.add local.set 412 local.get 413 i32.const 1 i32.add local.set 413
  local.get 414 i32.const 1 i32.add local.set 414 local.get 415 i32.const 1 i32.add local.set 415 local.get 416 i32.const 1 i32.add local.set 416
  local.get 417 i32.const 1 i32.add local.set 417 local.get 418 i32.const 1 i32.add local.set 418 local.get 419 i32.const 1 i32.add local.set 419
  local.get 420 i32.const 1 i32.add local.set 420 local.get 421 i32.const 1 i32.add local.set 421 local.get 422 i32.const 1 i32.add local.set 422
  local.get 423 i32.const 1 i32.add local.set 423 local.get 424 i32.const 1 i32.add local.set 424 local.get 425 i32.const 1 i32.add local.set 425
  local.get 426 i32.const 1 i32.add local.set 426 local.get 427 i32.const 1 i32.add local.set 427 local.get 428 i32.const 1 i32.add local.set 428
  local.get 429 i32.const 1 i32.add local.set 429 local.get 430 i32.const 1 i32.add local.set 430 local.get 431 i32.const 1 i32.add local.set 431
  local.get 432 i32.const 1 i32.add local.set 432 local.get 433 i32.const 1 i32.add local.set 433 local.get 434 i32.const 1 i32.add local.set 434
  local.get 435 i32.const 1 i32.add local.set 435 local.get 436 i32.const 1 i32.add local.set 436 local.get 437 i32.const 1 i32.add local.set 437
  local.get 438 i32.const 1 i32.add local.set 438 local.get 439 i32.const 1 i32.add local.set 439 local.get 440 i32.const 1 i32.add local.set 440
  local.get 441 i32.const 1 i32.add local.set 441 local.get 442 i32.const 1 i32.add local.set 442 local.get 443 i32.const 1 i32.add local.set 443
  local.get 444 i32.const 1 i32.add local.set 444 local.get 445 i32.const 1 i32.add local.set 445 local.get 446 i32.const 1 i32.add local.set 446
  local.get 447 i32.const 1 i32.add local.set 447 local.get 448 i32.const 1 i32.add local.set 448 local.get 449 i32.const 1 i32.add local.set 449
  local.get 450 i32.const 1 i32.add local.set 450 local.get 451 i32.const 1 i32.add local.set 451 local.get 452 i32.const 1 i32.add local.set 452
  local.get 453 i32.const 1 i32.add local.set 453 local.get 454 i32.const 1 i32.add local.set 454 local.get 455 i32.const 1 i32.add local.set 455
  local.get 456 i32.const 1 i32.add local.set 456 local.get 457 i32.const 1 i32.add local.set 457 local.get 458 i32.const 1 i32.add local.set 458
  local.get 459 i32.const 1 i32.add local.set 459 local.get 460 i32.const 1 i32.add local.set 460 local.get 461 i32.const 1 i32.add local.set 461
  local.get 462 i32.const 1 i32.add local.set 462 local.get 463 i32.const 1 i32.add local.set 463 local.get 464 i32.const 1 i32.add local.set 464
  local.get 465 i32.const 1 i32.add local.set 465 local.get 466 i32.const 1 i32.add local.set 466 local.get 467 i32.const 1 i32.add local.set 467
  local.get 468 i32.const 1 i32.add local.set 468 local.get 469 i32.const 1 i32.add local.set 469 local.get 470 i32.const 1 i32.add local.set 470
  local.get 471 i32.const 1 i32.add local.set 471 local.get 472 i32.const 1 i32.add local.set 472 local.get 473 i32.const 1 i32.add local.set 473
  local.get 474 i32.const 1 i32.add local.set 474 local.get 475 i32.const 1 i32.add local.set 475 local.get 476 i32.const 1 i32.add local.set 476
  local.get 477 i32.const 1 i32.add local.set 477 local.get 478 i32.const 1 i32.add local.set 478 local.get 479 i32.const 1 i32.add local.set 479
  local.get 480 i32.const 1 i32.add local.set 480 local.get 481 i32.const 1 i32.add local.set 481 local.get 482 i32.const 1 i32.add local.set 482
  local.get 483 i32.const 1 i32.add local.set 483 local.get 484 i32.const 1 i32.add local.set 484 local.get 485 i32.const 1 i32.add local.set 485
  local.get 486 i32.const 1 i32.add local.set 486 local.get 487 i32.const 1 i32.add local.set 487 local.get 488 i32.const 1 i32.add local.set 488
  local.get 489 i32.const 1 i32.add local.set 489 local.get 490 i32.const 1 i32.add local.set 490 local.get 491 i32.const 1 i32.add local.set 491
  local.get 492 i32.const 1 i32.add local.set 492 local.get 493 i32.const 1 i32.add local.set 493 local.get 494 i32.const 1 i32.add local.set 494
  local.get 495 i32.const 1 i32.add local.set 495 local.get 496 i32.const 1 i32.add local.set 496 local.get 497 i32.const 1 i32.add local.set 497
  local.get 498 i32.const 1 i32.add local.set 498 local.get 499 i32.const 1 i32.add local.set 499
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end
  local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end local.get 0 br_if 0 end)
